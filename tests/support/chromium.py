"""How Chromium is started for a test: with no part that the test does not need."""

from __future__ import annotations

from tutorial.doctor.checks import CHROMIUM_FLAGS

# Of two lists the browser takes the last one, so what Playwright leaves out is in ours.
PLAYWRIGHT_LEAVES_OUT = [
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    "LensOverlay",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "TcpPortRandomizationWin",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "AimEnabled",
    "PreconnectToSearch",
    "msForceBrowserSignIn",
    "msEdgeUpdateLaunchServicesPreferredVersion",
]
# What opens below the address bar is a page, too, and is loaded for each profile: that
# takes a second, and nobody looks there.
ADDRESS_BAR = ["WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup"]
# A document takes the place of the one before in the same frame, a quarter faster.
NEW_FRAME = ["RenderDocument"]
FLAGS = [
    *CHROMIUM_FLAGS,
    # The windows of one profile share a process, which spares a second for each.
    "--renderer-process-limit=1",
    # It stays when one of them goes elsewhere and comes back. All sites are ours.
    "--disable-site-isolation-trials",
    # What is drawn takes no way through another one.
    "--in-process-gpu",
    "--disable-features="
    + ",".join([*PLAYWRIGHT_LEAVES_OUT, *ADDRESS_BAR, *NEW_FRAME]),
]
