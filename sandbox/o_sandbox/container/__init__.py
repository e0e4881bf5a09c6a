"""The tier `container`: plain Python with the packages of the container, in a process per call.

For tools that need native packages. The process has nothing of the one that starts it: no
descriptor but its own socket, no environment, no right; its jail lets it read the interpreter and
its packages, start threads, and write to its scratch folder, if it has one. It can make no socket
and no process, so that neither the bridge nor anything else is within its reach.
"""
