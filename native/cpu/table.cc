// The entry of one instruction set in the table of kernels.
#include "cpu/functions.h"

#define FEMTO_QUOTE(x) #x
#define FEMTO_NAME(x) FEMTO_QUOTE(x)

namespace femto::FEMTO_KERNEL {

extern const Kernel kKernel;
const Kernel kKernel = {FEMTO_NAME(FEMTO_KERNEL),
                        {{pack, scratch, encode}, {int8::pack, int8::scratch, int8::encode}},
                        {{pack_dense, dense_scratch, dense}, {int8::pack_dense, int8::dense_scratch, int8::dense}},
                        pack_query,
                        maxsim,
                        maxsim_codes,
                        maxima_codes,
                        distinct,
                        pack_muvera,
                        muvera_scratch,
                        muvera,
                        inner_products,
                        rest_products};

}  // namespace femto::FEMTO_KERNEL
