"""What tools may have of the platform: capabilities, and runs of tools outside of turns."""
