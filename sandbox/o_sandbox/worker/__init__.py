"""Jailed Python processes on a socket, as the tiers `restricted` and `container` use them.

`process` and `call` are the host's side, `serving` and `console` the side inside the jail.
"""
