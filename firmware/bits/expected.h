/* Made by `MINSTRET_NEW_EXPECTED=1 python -m pytest tests/firmware/test_bits.py`: don't edit. */
#ifndef EXPECTED_H
#define EXPECTED_H

#if __riscv_xlen == 64
#define VALUES { \
    0x0ull, 0x5ull, 0xfffffffffffffff9ull, 0x8000000080000000ull, \
    0x7fffffffffffffffull, 0xffffffffull, 0x800000000080ull, 0x123456789abcdefull, \
    0x80ull, 0x8000ull, 0xff00ff0000010000ull, 0x1full, \
    0x20ull, 0x3full, 0x40ull, 0x100000000ull, \
}
#define EXPECTED_add_uw 0x27bc8218u
#define EXPECTED_andn 0xf2971890u
#define EXPECTED_bclr 0xe54d89e1u
#define EXPECTED_bclri 0x0c547fc5u
#define EXPECTED_bext 0x329741a4u
#define EXPECTED_bexti 0x6f2ec405u
#define EXPECTED_binv 0xc24676d9u
#define EXPECTED_binvi 0xc5a57fc5u
#define EXPECTED_bset 0x42a2b6adu
#define EXPECTED_bseti 0xca093fc5u
#define EXPECTED_clz 0x8ef68a45u
#define EXPECTED_clzw 0x103d0cc5u
#define EXPECTED_cpop 0x76fad945u
#define EXPECTED_cpopw 0x29f6a5c5u
#define EXPECTED_ctz 0xdf2b3005u
#define EXPECTED_ctzw 0x8d75b005u
#define EXPECTED_czero_eqz 0x3f0731d0u
#define EXPECTED_czero_nez 0x95e6c980u
#define EXPECTED_max 0x0215c6e4u
#define EXPECTED_maxu 0xba047db8u
#define EXPECTED_min 0x79827e14u
#define EXPECTED_minu 0xd54f9c94u
#define EXPECTED_orc_b 0x868ac925u
#define EXPECTED_orn 0x0eecf28cu
#define EXPECTED_rev8 0xea1294a5u
#define EXPECTED_rol 0xb9ef32e2u
#define EXPECTED_rolw 0x05fbbf0au
#define EXPECTED_ror 0xaa4d4da8u
#define EXPECTED_rori 0xc33e2185u
#define EXPECTED_roriw 0x80c47ee5u
#define EXPECTED_rorw 0x247d61c8u
#define EXPECTED_sext_b 0xd2299ea5u
#define EXPECTED_sext_h 0x6c2fdce5u
#define EXPECTED_sh1add 0xcabfcf10u
#define EXPECTED_sh1add_uw 0x53806180u
#define EXPECTED_sh2add 0x9253e9feu
#define EXPECTED_sh2add_uw 0xa86dbbdeu
#define EXPECTED_sh3add 0x5c10ca92u
#define EXPECTED_sh3add_uw 0xffe7afb2u
#define EXPECTED_slli_uw 0x3268b645u
#define EXPECTED_xnor 0x4fcbcc41u
#define EXPECTED_zext_h 0x254ee085u
#else
#define VALUES { \
    0x0u, 0x5u, 0xfffffff9u, 0x80000000u, \
    0xffffffffu, 0xffffffffu, 0x80u, 0x89abcdefu, \
    0x80u, 0x8000u, 0x10000u, 0x1fu, \
    0x20u, 0x3fu, 0x40u, 0x0u, \
}
#define EXPECTED_andn 0x5a3defaeu
#define EXPECTED_bclr 0x91057b3cu
#define EXPECTED_bclri 0xaf2c2085u
#define EXPECTED_bext 0x4e3bd1bcu
#define EXPECTED_bexti 0x6f2ec405u
#define EXPECTED_binv 0x13169645u
#define EXPECTED_binvi 0x97ae6085u
#define EXPECTED_bset 0x7d02b9dcu
#define EXPECTED_bseti 0xca7f2085u
#define EXPECTED_clz 0x103d0cc5u
#define EXPECTED_cpop 0x29f6a5c5u
#define EXPECTED_ctz 0x8d75b005u
#define EXPECTED_czero_eqz 0xfaedb04du
#define EXPECTED_czero_nez 0x83de1a0du
#define EXPECTED_max 0x6a359f0eu
#define EXPECTED_maxu 0x23b64b9eu
#define EXPECTED_min 0x1c098b2eu
#define EXPECTED_minu 0x7e15dbdeu
#define EXPECTED_orc_b 0xdf61b185u
#define EXPECTED_orn 0x0a36786eu
#define EXPECTED_rev8 0x0692d045u
#define EXPECTED_rol 0x2160d286u
#define EXPECTED_ror 0x6a0bef7cu
#define EXPECTED_rori 0x2fb0d905u
#define EXPECTED_sext_b 0x44fd4885u
#define EXPECTED_sext_h 0xda8ce085u
#define EXPECTED_sh1add 0x192b1151u
#define EXPECTED_sh2add 0x39695ea5u
#define EXPECTED_sh3add 0xfbc937e5u
#define EXPECTED_xnor 0x11872535u
#define EXPECTED_zext_h 0x254ee085u
#endif

#define EXPECTED_PROGRAMS 0x126461a9u

#endif
