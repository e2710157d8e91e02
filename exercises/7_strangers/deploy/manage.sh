# Runs a command of Django's as the services would: sudo sh deploy/manage.sh migrate
exec systemd-run --quiet --pty --wait --collect \
    --property=User=chat \
    --property=WorkingDirectory=/srv/chat \
    --property=EnvironmentFile=/etc/chat/env \
    /srv/chat/.venv/bin/python manage.py "$@"
