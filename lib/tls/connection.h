// What the callbacks of an SSL_CTX know of the one connection that they are called for: the Stream hangs it on its SSL.
// For context.cpp and stream.cpp only.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "tls/client_hello.h"
#include "tls/compat.h"
#include "tls/context.h"
#include "tls/credential.h"
#include "tls/key_operation.h"

namespace postern::tls {

struct ServerHandshake {
  std::shared_ptr<const CredentialSource> source;
  ClientHelloReader reader;
  std::optional<ClientHello> hello;
  WallTime now{};  // for staples
  Choice choice;
  // The credential of the choice is a deferred one, and was asked for; `credential_failure`: why it did not come.
  bool wants_credential = false;
  std::string credential_failure;
};

/// A private-key operation outside: what waits to be taken, and what came back.
struct KeyUse {
  std::optional<KeyOperation> operation;
  std::optional<std::string> outcome;
};

struct ClientHandshake {
  std::shared_ptr<const ClientContext> context;
  std::optional<DnsName> name;
};

struct Connection {
  std::shared_ptr<const ServerContext> context;  ///< server side; TLS 1.3 tickets are made after the handshake
  // One of the two, until the handshake is forgotten.
  std::unique_ptr<ServerHandshake> server;
  std::unique_ptr<ClientHandshake> client;
  std::unique_ptr<KeyUse> key_use;  ///< likewise; null while no key was needed
  std::string refusal;  ///< why one of our callbacks ended the handshake
  std::optional<int> alert_received;
  std::optional<int> alert_sent;
};

inline void set_connection(SSL* ssl, Connection* connection) { SSL_set_app_data(ssl, connection); }
inline Connection& connection_of(const SSL* ssl) { return *static_cast<Connection*>(SSL_get_app_data(ssl)); }

}  // namespace postern::tls
