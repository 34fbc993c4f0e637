//! What is shipped for containers and Kubernetes, checked by other people's schemas and linters.
