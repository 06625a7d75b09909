/* Registers of CLINT, PLIC and UART, as far as an access changes nothing but them, the hart's interrupt lines and its next
 * deadline.
 *
 * clint.py, plic.py and uart16550.py say what all registers do, and are what runs where this says that it is Python's turn: then
 * nothing has changed here. Both work on the same structures, which emu/registers.py describes. A test compares them.
 */

static bool call_with_nothing(PyObject *function)
{
    PyObject *result = PyObject_CallFunctionObjArgs(function, NULL);
    Py_XDECREF(result);
    return result != NULL;
}

/* Python's turn is next: first the timer is set, and what the guest has sent goes out. False: Python raised an exception. */
static bool catch_up(struct shared *s)
{
    if (s->clint != NULL && s->clint->is_set && !call_with_nothing(s->arm_timer))
        return false;
    return s->uart == NULL || !s->uart->keeps_sent || call_with_nothing(s->send_kept);
}

static void set_hart_line(struct shared *s, int interrupt, bool level)
{
    uint64_t bit = 1ull << interrupt;
    s->lines = level ? s->lines | bit : s->lines & ~bit;
    s->mip = (s->mip & ~bit) | ((s->lines | s->soft_mip) & bit);
    s->fast_limit = s->mip || s->resync ? 0 : s->limit;
}

/* ---- the CLINT ----------------------------------------------------------------------------------- */

/* Which half of mtimecmp of hart 0 is at `address`; -1: none, or Python's turn. */
static int half_of_mtimecmp(const struct shared *s, uint64_t address, unsigned size)
{
    uint64_t at = s->clint == NULL ? 8 : address - s->clint_base - CLINT_MTIMECMP;
    return size == 4 && (at == 0 || at == 4) ? (int)(at / 4) : -1;
}

static bool clint_read(struct shared *s, uint64_t address, unsigned size, uint64_t *value)
{
    int half = half_of_mtimecmp(s, address, size);
    if (half < 0)
        return false;
    *value = s->clint->mtimecmp[0] >> 32 * half & 0xffffffffu;
    return true;
}

/* Let the line follow mtime >= mtimecmp, now and when that changes: at mtimecmp, or where mtime wraps. */
static void clint_schedule(struct shared *s)
{
    struct clint *c = s->clint;
    uint64_t now_ticks = (((s->icount - 1) << s->shift) + s->warp_ns) / s->ns_per_tick;
    uint64_t mtime = now_ticks + c->mtime_delta, end_ticks = VIRTUAL_NS_MAX / s->ns_per_tick;
    bool is_due = mtime >= c->mtimecmp[0], is_whole_round = is_due && mtime == 0;
    if (is_due != (c->outputs & 1)) {
        c->outputs ^= 1;
        set_hart_line(s, MTI, is_due);
    }
    uint64_t distance_ticks = is_due ? 0 - mtime : c->mtimecmp[0] - mtime;
    c->is_set = 1;
    if (is_whole_round || now_ticks >= end_ticks || distance_ticks >= end_ticks - now_ticks) {
        c->deadline_ns = TIMER_NEVER;
        return;
    }
    c->arms++;
    c->deadline_ns = (now_ticks + distance_ticks) * s->ns_per_tick;
    uint64_t deadline = (c->deadline_ns - s->warp_ns + (1ull << s->shift) - 1) >> s->shift;
    if (deadline < s->limit) {
        s->limit = deadline > s->icount ? deadline : s->icount;
        s->fast_limit = s->limit < s->fast_limit ? s->limit : s->fast_limit;
    }
}

static bool clint_write(struct shared *s, uint64_t address, unsigned size, uint64_t value)
{
    int half = half_of_mtimecmp(s, address, size);
    if (half < 0 || s->clint->listeners != 0)
        return false;
    uint64_t mask = 0xffffffffull << 32 * half;
    s->clint->mtimecmp[0] = (s->clint->mtimecmp[0] & ~mask) | (value << 32 * half & mask);
    clint_schedule(s);
    return true;
}

/* ---- the PLIC ------------------------------------------------------------------------------------ */

/* The pending, enabled source of highest priority over `above`; the lowest number among equals. */
static uint64_t plic_best(const struct plic *p, uint64_t context, uint64_t above)
{
    uint64_t candidates = p->pending & p->enable[context], best = 0;
    for (uint64_t source = 1; source <= PLIC_SOURCES && candidates >> source != 0; source++)
        if (candidates >> source & 1 && p->priority[source] > above) {
            best = source;
            above = p->priority[source];
        }
    return best;
}

static void plic_update(struct shared *s)
{
    static const int lines[] = {MEI, SEI};
    struct plic *p = s->plic;
    for (uint64_t context = 0; context < 2; context++) {
        bool level = plic_best(p, context, p->threshold[context]) != 0;
        if (level != (p->outputs >> context & 1)) {
            p->outputs ^= 1ull << context;
            set_hart_line(s, lines[context], level);
        }
    }
}

static void plic_set_source(struct shared *s, uint64_t source, bool level)
{
    struct plic *p = s->plic;
    uint64_t bit = 1ull << source;
    if (!level) {
        p->levels &= ~bit;
    } else {
        p->levels |= bit;
        p->pending |= bit & ~p->claimed;
    }
    plic_update(s);
}

/* The context whose claim register is at `address`; PLIC_CONTEXTS_MAX: none, or Python's turn. */
static uint64_t claimed_for(const struct shared *s, uint64_t address, unsigned size)
{
    const struct plic *p = s->plic;
    uint64_t at = p == NULL ? 0 : address - s->plic_base - PLIC_CONTEXT, context = at >> PLIC_CONTEXT_BITS;
    bool is_claim = p != NULL && size == 4 && (at & ((1u << PLIC_CONTEXT_BITS) - 1)) == PLIC_CLAIM;
    return is_claim && context < 2 && p->listeners == 0 ? context : PLIC_CONTEXTS_MAX;
}

static bool plic_read(struct shared *s, uint64_t address, unsigned size, uint64_t *value)
{
    struct plic *p = s->plic;
    uint64_t context = claimed_for(s, address, size);
    if (context == PLIC_CONTEXTS_MAX)
        return false;
    *value = plic_best(p, context, 0);
    if (*value != 0) {
        p->pending &= ~(1ull << *value);
        p->claimed |= 1ull << *value;
        p->claims[*value]++;
        plic_update(s);
    }
    return true;
}

static bool plic_write(struct shared *s, uint64_t address, unsigned size, uint64_t value)
{
    struct plic *p = s->plic;
    uint64_t context = claimed_for(s, address, size), source = value & 0xffffffffu;
    if (context == PLIC_CONTEXTS_MAX)
        return false;
    uint64_t bit = source > 0 && source <= PLIC_SOURCES ? 1ull << source : 0;
    if (bit & p->enable[context] & p->claimed) {
        p->claimed &= ~bit;
        p->pending |= bit & p->levels;
    }
    plic_update(s);
    return true;
}

/* ---- the UART ------------------------------------------------------------------------------------ */

static bool is_trigger_reached(const struct uart *u)
{
    static const uint8_t levels[] = {1, 4, 8, 14};
    return u->rx_count >= (u->fcr & FCR_ENABLE ? levels[u->fcr >> 6 & 3] : 1);
}

static uint64_t uart_interrupt(const struct uart *u)
{
    if (u->ier & IER_LINE_STATUS && u->overrun)
        return IIR_LINE_STATUS;
    if (u->ier & IER_RX_DATA && is_trigger_reached(u))
        return IIR_RX_DATA;
    if (u->ier & IER_RX_DATA && u->rx_timeout_pending)
        return IIR_RX_TIMEOUT;
    if (u->ier & IER_THR_EMPTY && u->thr_empty_pending)
        return IIR_THR_EMPTY;
    if (u->ier & IER_MODEM_STATUS && u->msr_deltas)
        return IIR_MODEM_STATUS;
    return IIR_NONE;
}

static void uart_update(struct shared *s)
{
    struct uart *u = s->uart;
    bool level = u->ier != 0 && uart_interrupt(u) != IIR_NONE;
    if (level != (bool)u->output) {
        u->output = level;
        plic_set_source(s, u->source, level);
    }
}

static bool is_uart_ours(const struct shared *s, uint64_t address)
{
    return s->uart != NULL && address - s->uart_base < UART_WINDOW && s->uart->listeners == 0 && s->plic != NULL
        && s->plic->listeners == 0;
}

static bool uart_read(struct shared *s, uint64_t address, unsigned size, uint64_t *value)
{
    struct uart *u = s->uart;
    (void)size; /* all are of one byte, whatever the size of the access */
    if (!is_uart_ours(s, address))
        return false;
    bool dlab = u->lcr & LCR_DLAB;
    switch (address - s->uart_base) {
    case UART_RBR_THR:
        *value = dlab ? u->divisor & 0xff : 0;
        return dlab || (u->rx_count == 0 && u->is_used);
    case UART_IER:
        *value = dlab ? u->divisor >> 8 & 0xff : u->ier;
        return true;
    case UART_IIR_FCR:
        *value = uart_interrupt(u);
        if (*value == IIR_THR_EMPTY) {
            u->thr_empty_pending = 0;
            uart_update(s);
        }
        *value |= u->fcr & FCR_ENABLE ? IIR_FIFO_ENABLED : 0;
        return true;
    case UART_LCR:
        *value = u->lcr;
        return true;
    case UART_MCR:
        *value = u->mcr;
        return true;
    case UART_LSR:
        *value = LSR_THR_EMPTY | LSR_TRANSMITTER_EMPTY | (u->rx_count ? LSR_DATA_READY : 0);
        return u->is_used && !u->overrun;
    case UART_MSR:
        *value = MSR_DCD | MSR_DSR | MSR_CTS;
        return !(u->mcr & MCR_LOOPBACK) && !u->msr_deltas;
    case UART_SCR:
        *value = u->scr;
        return true;
    default:
        return false;
    }
}

static bool uart_write(struct shared *s, uint64_t address, uint64_t value)
{
    struct uart *u = s->uart;
    if (!is_uart_ours(s, address) || u->lcr & LCR_DLAB)
        return false;
    value &= 0xff;
    switch (address - s->uart_base) {
    case UART_RBR_THR:
        if (u->mcr & MCR_LOOPBACK || !u->keeps_sent || u->sent_count == SENT_MAX)
            return false;
        u->sent[u->sent_count] = value;
        u->sent_icount[u->sent_count++] = s->icount - 1;
        u->sent_ns = ((s->icount - 1) << s->shift) + s->warp_ns;
        u->thr_empty_pending = 1;
        break;
    case UART_IER:
        if (!u->is_used)
            return false;
        value &= 0x0f;
        if (value & IER_THR_EMPTY && !(u->ier & IER_THR_EMPTY))
            u->thr_empty_pending = 1;
        u->ier = value;
        break;
    case UART_SCR:
        u->scr = value;
        break;
    default:
        return false;
    }
    uart_update(s);
    return true;
}
