"""What counts as one address, for the limits of both servers."""

from ipaddress import ip_address, ip_network


def network(address):
    """Return an address of IPv4 as it is, and of IPv6 the network that it is in.

    Who has one address there, has 2 to the power of 64.
    """
    try:
        known = ip_address(address.strip())
    except ValueError:
        return address  # of no machine, as a socket of this one
    if known.version == 4:
        return str(known)
    if known.ipv4_mapped:
        return str(known.ipv4_mapped)
    return str(ip_network((known, 64), strict=False))
