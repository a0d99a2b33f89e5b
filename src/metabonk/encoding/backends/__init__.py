"""One module an engine; each makes encoders that satisfy ``encoding.encoder.Encoder``."""
