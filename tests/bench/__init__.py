"""Benchmarks: sipfailover beside Kamailio, between the same SIPps, in one run. `python -m tests.bench --help`."""
