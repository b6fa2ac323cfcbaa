"""Serving: the bundle, ONNX export, retrieval index, three-stage recommender and v2 server."""
