"""`check --probe`: what works with each carrier, step by step, before anybody relies on it. Front door."""

from .call import objection as objection
from .report import Result as Result
from .report import Section as Section
from .report import Step as Step
from .report import as_json as as_json
from .run import Wish as Wish
from .run import probe as probe
from .screen import summary as summary
