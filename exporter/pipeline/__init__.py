"""The exporter's stages behind one function each: a request in, a result out."""
