"""What the tests share: the playbook (conversations with the engine), SIP builders, and worlds in virtual time."""

from tests.kit.playbook import Playbook as Playbook
from tests.kit.playbook import Seen as Seen
from tests.kit.playbook import after as after
from tests.kit.playbook import logged as logged
from tests.kit.playbook import lost as lost
from tests.kit.playbook import received as received
from tests.kit.playbook import recorded as recorded
from tests.kit.playbook import resolved as resolved
from tests.kit.playbook import send as send
from tests.kit.playbook import sends_nothing as sends_nothing
from tests.kit.sip import ack as ack
from tests.kit.sip import answer as answer
from tests.kit.sip import bye as bye
from tests.kit.sip import cancel as cancel
from tests.kit.sip import flow as flow
from tests.kit.sip import invite as invite
from tests.kit.sip import request as request
from tests.kit.sip import target as target
