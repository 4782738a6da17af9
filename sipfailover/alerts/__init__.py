"""What is worth telling, and to whom.

`condition` says what is wrong now, `incident` what of it is news, `text` puts it into words; `outbox` keeps what was
not delivered yet, `send` delivers by mail and webhook, and `alerts` joins them to the loop.
"""

from sipfailover.alerts.alerts import Alerts as Alerts
from sipfailover.alerts.alerts import send_test as send_test
