"""The command `o`: starts and stops the platform, and talks to it as its operator."""
