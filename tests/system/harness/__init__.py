"""What the end-to-end tests are made of: servers, clients and certificates, each started and ended by the test."""
