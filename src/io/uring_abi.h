// io_uring constants that liburing 2.3 and Debian 12's kernel headers do not have, and checks that
// the structures are what the kernel expects.
//
// Debian 12's <linux/io_uring.h> places io_uring_buf_ring::bufs at offset 8 in C++ (an empty
// struct has size 1); liburing's own header is right. Only this header may include either.
#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>

namespace io::abi {

inline constexpr uint16_t kBufferRingIncremental = 2;  // io_uring_buf_reg.flags, kernel 6.12
inline constexpr uint32_t kCqeBufferMore = 1u << 4;    // CQE_F_BUF_MORE, 6.12
inline constexpr uint32_t kEnterNoIowait = 1u << 7;    // ENTER_NO_IOWAIT, 6.15
inline constexpr uint32_t kFeatureNoIowait = 1u << 17;

static_assert(sizeof(io_uring_sqe) == 64);
static_assert(sizeof(io_uring_cqe) == 16);
static_assert(sizeof(io_uring_buf) == 16);
static_assert(sizeof(io_uring_buf_reg) == 40);
static_assert(offsetof(io_uring_buf_reg, pad) == 14, "the kernel calls it flags");
static_assert(offsetof(io_uring_buf_ring, bufs) == 0);
static_assert(offsetof(io_uring_buf_ring, tail) == 14);
static_assert(sizeof(io_uring_getevents_arg) == 24);

}  // namespace io::abi
