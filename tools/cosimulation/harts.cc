// Several harts of Spike over one memory, each run for as many instructions as the lines on standard input say.
//
// harts ISA HARTS RAM_BASE RAM_FILE: RAM is the file, shared with whoever else maps it. Of devices there is only the
// software interrupt of a CLINT. Commands, and the one line that answers each:
//
//   run HART INSNS       run until so many have retired, or the hart waits in WFI: "RETIRED WAITING TRAPS REGISTERS"
//   set HART N VALUE     x[N], or pc for N = 32: "REGISTERS"
//   csr HART NUMBER      "VALUE"
//   msip HART LEVEL      its software interrupt: "0"
//
// REGISTERS are minstret, pc and x1 to x31. Numbers in commands and VALUEs are hexadecimal without a prefix.
//
// A store counts at once, also one to code or to page tables: what Spike keeps of them is dropped before each
// instruction. A hart loses its reservation in a trap, and when it stops.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <vector>

#include "cfg.h"
#include "mmu.h"
#include "processor.h"
#include "simif.h"

static const reg_t CLINT = 0x2000000;
static const unsigned TRAPS_MAX = 1000;  // so many without a retired instruction are a trap loop

class Machine : public simif_t {
 public:
  Machine(const char* isa, size_t harts, reg_t ram_base, const char* ram_file) : ram_base(ram_base) {
    int file = open(ram_file, O_RDWR);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) {
      perror(ram_file);
      exit(1);
    }
    ram_size = status.st_size;
    void* mapped = mmap(nullptr, ram_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) {
      perror(ram_file);
      exit(1);
    }
    ram = static_cast<char*>(mapped);
    cfg.isa = isa;
    cfg.priv = "MSU";
    cfg.hartids.clear();
    for (size_t id = 0; id < harts; id++) cfg.hartids.push_back(id);
    debug_mmu = nullptr;
    for (size_t id = 0; id < harts; id++) {
      cores.push_back(std::make_unique<processor_t>(isa, cfg.priv, &cfg, this, id, false, stderr, std::cerr));
      by_id[id] = cores.back().get();
    }
    for (auto& core : cores) {
      bool is_64 = core->get_isa().get_max_xlen() == 64;
      core->set_pmp_num(16);
      core->set_max_vaddr_bits(is_64 ? 39 : 32);
      core->reset();
      core->put_csr(CSR_PMPCFG0, 0);  // Spike begins with an entry that allows everything
      core->put_csr(CSR_PMPADDR0, 0);
      if (core->get_xlen() == 32)
        core->put_csr(CSR_MENVCFGH, 1u << 29);  // ADUE: hardware sets A and D bits
      else
        core->put_csr(CSR_MENVCFG, reg_t(1) << 61);
    }
  }

  processor_t& core(size_t id) { return *cores.at(id); }

  void set_msip(size_t id, bool level) {
    core(id).get_state()->mip->backdoor_write_with_mask(MIP_MSIP, level ? MIP_MSIP : 0);
  }

  char* addr_to_mem(reg_t address) override {
    return address >= ram_base && address - ram_base < ram_size ? ram + (address - ram_base) : nullptr;
  }

  bool mmio_load(reg_t address, size_t size, uint8_t* bytes) override {
    if (!is_msip(address, size)) return false;
    uint32_t level = core((address - CLINT) / 4).get_state()->mip->read() & MIP_MSIP ? 1 : 0;
    memcpy(bytes, &level, 4);
    return true;
  }

  bool mmio_store(reg_t address, size_t size, const uint8_t* bytes) override {
    if (!is_msip(address, size)) return false;
    set_msip((address - CLINT) / 4, bytes[0] & 1);
    return true;
  }

  void proc_reset(unsigned) override {}
  const cfg_t& get_cfg() const override { return cfg; }
  const std::map<size_t, processor_t*>& get_harts() const override { return by_id; }
  const char* get_symbol(uint64_t) override { return nullptr; }

 private:
  bool is_msip(reg_t address, size_t size) const {
    return size == 4 && address % 4 == 0 && address >= CLINT && address < CLINT + 4 * cores.size();
  }

  cfg_t cfg;
  reg_t ram_base, ram_size;
  char* ram;
  std::vector<std::unique_ptr<processor_t>> cores;
  std::map<size_t, processor_t*> by_id;
};

static void print_registers(processor_t& core) {
  state_t& state = *core.get_state();
  reg_t mask = core.get_xlen() == 32 ? 0xFFFFFFFF : ~reg_t(0);
  printf("%llx %llx", (unsigned long long)state.minstret->read(), (unsigned long long)(state.pc & mask));
  for (int number = 1; number < 32; number++) printf(" %llx", (unsigned long long)(state.XPR[number] & mask));
}

static bool is_awake(processor_t& core) {
  if (!core.is_waiting_for_interrupt()) return true;
  if (!(core.get_state()->mip->read() & core.get_state()->mie->read())) return false;
  core.clear_waiting_for_interrupt();
  return true;
}

static void run(processor_t& core, reg_t insns) {
  state_t& state = *core.get_state();
  reg_t begin = state.mcycle->read(), now = begin;  // counts them too, and no program writes to it
  unsigned traps = 0, in_place = 0;
  while (now - begin < insns && in_place < TRAPS_MAX && is_awake(core)) {
    core.get_mmu()->flush_icache();
    core.get_mmu()->flush_tlb();
    core.step(1);
    in_place = state.mcycle->read() == now ? in_place + 1 : 0;
    now = state.mcycle->read();
    if (in_place) {
      traps++;
      core.get_mmu()->yield_load_reservation();
    }
  }
  core.get_mmu()->yield_load_reservation();
  bool waits = core.is_waiting_for_interrupt() && !(state.mip->read() & state.mie->read());
  printf("%llx %x %x ", (unsigned long long)(now - begin), waits, traps);
  print_registers(core);
}

int main(int argc, char** argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: harts ISA HARTS RAM_BASE RAM_FILE\n");
    return 1;
  }
  Machine machine(argv[1], strtoull(argv[2], nullptr, 16), strtoull(argv[3], nullptr, 16), argv[4]);
  char line[256], command[16];
  unsigned long long id, first, second;
  while (fgets(line, sizeof line, stdin)) {
    first = second = 0;
    if (sscanf(line, "%15s %llx %llx %llx", command, &id, &first, &second) < 2) return 1;
    processor_t& core = machine.core(id);
    if (!strcmp(command, "run")) {
      run(core, first);
    } else if (!strcmp(command, "set")) {
      if (first == 32)
        core.get_state()->pc = second;
      else
        core.get_state()->XPR.write(first, core.get_xlen() == 32 ? (sreg_t)(int32_t)second : second);
      print_registers(core);
    } else if (!strcmp(command, "csr")) {
      printf("%llx", (unsigned long long)core.get_csr(first));
    } else if (!strcmp(command, "msip")) {
      machine.set_msip(id, first);
      printf("0");
    } else {
      return 1;
    }
    putchar('\n');
    fflush(stdout);
  }
}
