/* The home level: where the checks themselves run, and what trials come back to by a trap.
 *
 * M-mode in the image `paging`, S-mode in `paging-s`, which defines HOME_IS_S.
 */
#ifndef HOME_H
#define HOME_H

#ifdef HOME_IS_S
#define HOME_HANDLER 'S'
#define HOME_SCRATCH sscratch
#define HOME_STATUS sstatus
#define HOME_CAUSE scause
#define HOME_EPC sepc
#define HOME_TVAL stval
#define HOME_TVEC stvec
#define HOME_RET sret
#else
#define HOME_HANDLER 'M'
#define HOME_SCRATCH mscratch
#define HOME_STATUS mstatus
#define HOME_CAUSE mcause
#define HOME_EPC mepc
#define HOME_TVAL mtval
#define HOME_TVEC mtvec
#define HOME_RET mret
#endif

#endif
