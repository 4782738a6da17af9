"""The configuration: one YAML file, read as text and typed by the schema, with every problem told at its place."""

from sipfailover.config.describe import describe as describe
from sipfailover.config.describe import json_schema as json_schema
from sipfailover.config.load import DEFAULT_PATHS as DEFAULT_PATHS
from sipfailover.config.load import find_file as find_file
from sipfailover.config.load import load as load
from sipfailover.config.load import parse as parse
from sipfailover.config.model import Emergency as Emergency
from sipfailover.config.model import Failover as Failover
from sipfailover.config.model import History as History
from sipfailover.config.model import Listen as Listen
from sipfailover.config.model import Log as Log
from sipfailover.config.model import Monitor as Monitor
from sipfailover.config.model import Pbx as Pbx
from sipfailover.config.model import ReturnToMain as ReturnToMain
from sipfailover.config.model import Settings as Settings
from sipfailover.config.model import Status as Status
from sipfailover.config.model import TrunkFailover as TrunkFailover
from sipfailover.config.model import TrunkSettings as TrunkSettings
from sipfailover.config.words import SIP_PORT as SIP_PORT
from sipfailover.config.words import Address as Address
from sipfailover.config.words import is_address as is_address
from sipfailover.config.words import spell as spell
