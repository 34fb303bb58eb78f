"""A project: what its ``evcli.toml`` says, whether its code may run, and how that code is loaded."""
