"""`make demo`: an evolving agent server under steady load, with sabotage, crashes and a report.

It is an outside user of the platform: it runs `o`, talks through `letta-client`, and reads the
database only to count what the clients cannot see (turns that ran twice).
"""
