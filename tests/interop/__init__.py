"""Interop: the service as a process between peers that others wrote (SIPp, Kamailio, baresip).

The rooms: `stage` (a test's loopback network, folder and processes), `service`, `sipp`, `kamailio`, `baresip` (one
process each), `books` (what a SIPp saw, call by call), `figures` (percentiles), `needs` (skip, or fail where required).
`scenarios` and `kamailio` hold what the peers do; `test_scenarios` proves them against each other, without the service.
"""
