"""Floods: ten times what one core can serve, against the real service, while a real PBX goes on calling."""
