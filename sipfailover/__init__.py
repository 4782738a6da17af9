"""sipfailover stands between an office PBX and its carriers, and moves calls when a carrier fails."""

__version__ = "0.1.0"
