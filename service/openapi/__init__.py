"""The OpenAPI document, made from the same manifests by which rows are checked."""
