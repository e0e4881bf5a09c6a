"""What runs inside an instance: the zygote, the turn server and the step loop."""
