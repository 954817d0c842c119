// A persistent array: a copy is one pointer, and changing one element of a copy copies only the path to it (one leaf
// and two or three inner nodes, whatever the size). So the generations of a map share all that did not change.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace postern::certs {

template <class T>
class Slots {
 public:
  std::size_t size() const noexcept { return size_; }

  /// The element at `at`; null when that is beyond the end.
  const T* find(std::size_t at) const noexcept {
    if (at >= size_) return nullptr;
    const void* node = root_.get();
    for (unsigned level = height_; level > 0; --level) {
      node = static_cast<const Inner*>(node)->children[index(at, level)].get();
      if (node == nullptr) return nullptr;
    }
    return &static_cast<const Leaf*>(node)->items[at % leaf_size];
  }

  /// Changes elements of one array, which is not to be read by other threads meanwhile. Nodes that this editor made
  /// are changed in place, all others are copied first.
  class Editor {
   public:
    /// `edition` must be another one for each editor in the history of an array, and not 0.
    Editor(Slots& slots, std::uint64_t edition) : slots_(slots), edition_(edition) {}

    void resize_up(std::size_t size) {
      if (size > slots_.size_) slots_.size_ = size;
      if (!slots_.root_) slots_.root_ = make<Leaf>();
      while (slots_.capacity() < size) {
        auto root = make<Inner>();
        static_cast<Inner*>(root.get())->children[0] = std::move(slots_.root_);
        slots_.root_ = std::move(root);
        ++slots_.height_;
      }
    }

    /// `at` must be below the size.
    T& at(std::size_t at) {
      Node* node = &slots_.root_;
      for (unsigned level = slots_.height_; level > 0; --level) {
        node = &own<Inner>(*node).children[slots_.index(at, level)];
      }
      edited_ = true;
      return own<Leaf>(*node).items[at % leaf_size];
    }

    bool edited() const { return edited_; }

   private:
    using Node = std::shared_ptr<void>;

    template <class Kind>
    Node make() {
      auto made = std::make_shared<Kind>();
      made->edition = edition_;
      return made;
    }

    template <class Kind>
    Kind& own(Node& node) {
      if (!node) {
        node = make<Kind>();
      } else if (static_cast<Kind*>(node.get())->edition != edition_) {
        auto copy = std::make_shared<Kind>(*static_cast<const Kind*>(node.get()));
        copy->edition = edition_;
        node = std::move(copy);
      }
      return *static_cast<Kind*>(node.get());
    }

    Slots& slots_;
    std::uint64_t edition_;
    bool edited_ = false;
  };

 private:
  // Leaves as large as the inner nodes, so that there are few of those: for 10^6 elements they fit a core's cache.
  static constexpr std::size_t leaf_size = 128;
  static constexpr unsigned leaf_bits = 7;
  static constexpr unsigned inner_bits = 8;

  struct Leaf {
    std::uint64_t edition = 0;
    std::array<T, leaf_size> items;
  };
  struct Inner {
    std::uint64_t edition = 0;
    std::array<std::shared_ptr<void>, std::size_t{1} << inner_bits> children;  // of the next level, all of one kind
  };

  std::size_t capacity() const noexcept { return leaf_size << (inner_bits * height_); }
  static std::size_t index(std::size_t at, unsigned level) noexcept {
    return (at >> (leaf_bits + inner_bits * (level - 1))) & ((std::size_t{1} << inner_bits) - 1);
  }

  std::shared_ptr<void> root_;
  unsigned height_ = 0;  // 0: the root is a leaf
  std::size_t size_ = 0;
};

}  // namespace postern::certs
