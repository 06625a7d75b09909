/* The trials of provoke.S: the name says the instruction. */
#ifndef PROVOKE_H
#define PROVOKE_H

#include "trial.h"

extern trial do_nothing;

extern trial load_byte, load_half, load_word, load_word_compressed, load_double;
extern trial store_half, store_word, store_word_compressed, store_double;
extern trial load_reserved, amo_add;

extern trial jump, spin, environment_call, breakpoint, breakpoint_compressed, illegal, illegal_compressed;

extern trial wait_for_interrupt, do_mret, do_sret, do_sfence_vma;
extern trial sret_to_u, sret_to_s;
extern trial sleep_in_m, sleep_in_s;

extern trial read_mstatus, read_sstatus, read_satp, write_satp, read_missing, write_cycle;
extern trial read_cycle, read_time, read_instret;
extern trial move_to_float;

extern trial load_as_user, load_as_user_access;

#endif
