"""What goes wrong around us: disk, log, clock, names, ports, interfaces, limits. Done really, with calls going on."""
