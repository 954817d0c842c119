// Exit codes of posternd.
#pragma once

namespace postern::app {

enum class Exit { Ok = 0, RunFailure = 1, ConfigurationError = 2 };

}  // namespace postern::app
