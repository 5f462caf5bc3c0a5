"""For those who write plugins: the state of those that are installed, and the start of a new one."""
