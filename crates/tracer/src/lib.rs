//! Spans of one request, from the context in its headers to the bytes that an agent takes.
