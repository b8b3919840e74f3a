"""Small classes with verbs for the integration tests: servers, the proxy, raw wires, faults."""
