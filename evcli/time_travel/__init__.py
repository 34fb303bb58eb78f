"""Time travel: what changed, which event changed it, and which one broke it. It only ever reads."""
