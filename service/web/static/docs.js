// validatorUrl: the badge of a validator elsewhere would tell that one the document's address.
SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", docExpansion: "list", validatorUrl: null });
