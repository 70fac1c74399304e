// Nothing: a precompiled header needs a source that reads it.
