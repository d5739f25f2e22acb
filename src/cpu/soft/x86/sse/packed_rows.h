// Rows of instructions that exist for MMX and for XMM registers, only the second with the 66 prefix.
#pragma once

#include "cpu/soft/x86/row.h"
#include "cpu/soft/x86/sse/operands.h"

// The shape is Binary, Unary…; `operation` works on vectors of T of either size.
#define ALCOVE_PACKED(name, opcode, shape, operation, T, mmx_feature, sse_feature)                          \
  {name, "NP 0F " opcode " /r", "Pq,Qq", by_form<shape<operation, Packed<T, 8>>>, kMmx, {}, mmx_feature}, { \
    name, "66 0F " opcode " /r", "Vx,Wx", by_form<shape<operation, Packed<T, 16>>>, kSse, {}, sse_feature   \
  }
// For XMM registers only.
#define ALCOVE_PACKED_XMM(name, opcode, shape, operation, T, sse_feature) \
  {name, "66 0F " opcode " /r", "Vx,Wx", by_form<shape<operation, Packed<T, 16>>>, kSse, {}, sse_feature}
// With an immediate byte.
#define ALCOVE_PACKED_IMMEDIATE(name, opcode, shape, operation, T, mmx_feature, sse_feature)                 \
  {name, "NP 0F " opcode " /r", "Pq,Qq,Ib", by_form<shape<operation, Packed<T, 8>>>, kMmx, {}, mmx_feature}, \
  {                                                                                                          \
    name, "66 0F " opcode " /r", "Vx,Wx,Ib", by_form<shape<operation, Packed<T, 16>>>, kSse, {}, sse_feature \
  }
#define ALCOVE_PACKED_XMM_IMMEDIATE(name, opcode, shape, operation, T, sse_feature) \
  {name, "66 0F " opcode " /r", "Vx,Wx,Ib", by_form<shape<operation, Packed<T, 16>>>, kSse, {}, sse_feature}
