"""The write side: commands are decided on the state of their stream, and what follows is stored; or not."""
