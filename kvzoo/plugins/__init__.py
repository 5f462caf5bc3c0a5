"""For authors of plugins: the state of installed plugins, and a template for a new one."""
