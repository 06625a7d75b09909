/* What of _flow.h Python calls: flow.py does. `flow` is what flow_new gives, `shared` an address. */
#ifndef MINSTRET_FLOW_MODULE_H
#define MINSTRET_FLOW_MODULE_H

#include "_flow.h"

#define FLOW_CAPSULE "minstret.flow"

static void free_flow(PyObject *capsule)
{
    struct flow *f = PyCapsule_GetPointer(capsule, FLOW_CAPSULE);
    free(f->runs_memory);
    free(f->nodes);
    free(f->index);
    free(f->frames);
    free(f);
}

static PyObject *py_flow_new(PyObject *module, PyObject *arguments)
{
    unsigned long long runs, nodes, depth, frames;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "KKKK", &runs, &nodes, &depth, &frames))
        return NULL;
    struct flow *f = calloc(1, sizeof *f);
    if (f == NULL)
        return PyErr_NoMemory();
    f->max = (struct flow_limits){runs, nodes, depth, frames};
    f->node = NO_NODE;
    f->mix_registers = HAS_AVX2 ? mix_registers_avx2 : mix_registers;
    PyObject *capsule = PyCapsule_New(f, FLOW_CAPSULE, free_flow);
    if (capsule == NULL)
        free(f);
    return capsule;
}

/* The flow and the hart of (flow, shared) or (flow, shared, number, ...); NULL: an exception is set. */
static struct flow *flow_of(PyObject *arguments, struct shared **s, unsigned long long numbers[2])
{
    PyObject *capsule;
    unsigned long long shared;
    if (!PyArg_ParseTuple(arguments, "OK|KK", &capsule, &shared, &numbers[0], &numbers[1]))
        return NULL;
    *s = (struct shared *)(uintptr_t)shared;
    return PyCapsule_GetPointer(capsule, FLOW_CAPSULE);
}

enum { FLOW_ASK, FLOW_ARRIVES, FLOW_RETIRES, FLOW_TRAPS, FLOW_MOVED, FLOW_TIME_PASSED };

static PyObject *tell_flow(PyObject *arguments, int what)
{
    struct shared *s;
    unsigned long long numbers[2] = {0};
    struct flow *f = flow_of(arguments, &s, numbers);
    if (f == NULL)
        return NULL;
    switch (what) {
    case FLOW_ASK:
        if (!flow_ask(f, s->icount, numbers[0], numbers[1]))
            return PyErr_NoMemory();
        f->on_block = follower_of(numbers[0]);
        s->flow = numbers[0] != 0 ? f : NULL;
        break;
    case FLOW_ARRIVES:
        flow_arrives(f, s, env_word(s, s->off_pc), priv_of(s));
        f->next = env_word(s, s->off_pc);
        break;
    case FLOW_RETIRES:
        flow_begins(f, s, env_word(s, s->off_pc), 4, 1, numbers[0]);
        break;
    case FLOW_TRAPS:
        flow_traps(f, s);
        break;
    case FLOW_MOVED:
        flow_ends(f, numbers[0]);
        break;
    case FLOW_TIME_PASSED:
        f->mark += numbers[0];
        break;
    }
    Py_RETURN_NONE;
}

#define FLOW_TELLS(name, what) \
    static PyObject *py_##name(PyObject *module, PyObject *arguments) \
    { \
        (void)module; \
        return tell_flow(arguments, what); \
    }
FLOW_TELLS(flow_ask, FLOW_ASK)
FLOW_TELLS(flow_arrives, FLOW_ARRIVES)
FLOW_TELLS(flow_retires, FLOW_RETIRES)
FLOW_TELLS(flow_traps, FLOW_TRAPS)
FLOW_TELLS(flow_moved, FLOW_MOVED)
FLOW_TELLS(flow_time_passed, FLOW_TIME_PASSED)

/* The runs, 4 words of 64 bits each: those of struct flow_run. */
static PyObject *py_flow_runs(PyObject *module, PyObject *arguments)
{
    struct shared *s;
    unsigned long long numbers[2];
    struct flow *f = flow_of(arguments, &s, numbers);
    (void)module;
    if (f == NULL)
        return NULL;
    uint64_t count = 0;
    for (uint64_t i = 0; i < f->run_slots; i++)
        count += f->runs[i].count != 0;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * sizeof *f->runs));
    if (bytes == NULL)
        return NULL;
    char *at = PyBytes_AsString(bytes);
    for (uint64_t i = 0; i < f->run_slots; i++) {
        if (f->runs[i].count == 0)
            continue;
        memcpy(at, &f->runs[i], sizeof *f->runs);
        at += sizeof *f->runs;
    }
    return bytes;
}

/* The nodes, 5 words of 64 bits each: parent, entry, privilege | is_trap << 8, insns, calls. */
static PyObject *py_flow_nodes(PyObject *module, PyObject *arguments)
{
    struct shared *s;
    unsigned long long numbers[2];
    struct flow *f = flow_of(arguments, &s, numbers);
    (void)module;
    if (f == NULL)
        return NULL;
    credit_node(f, s->icount);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(f->node_count * 5 * sizeof(uint64_t)));
    if (bytes == NULL)
        return NULL;
    char *at = PyBytes_AsString(bytes);
    for (uint64_t i = 0; i < f->node_count; i++) {
        const struct flow_node *n = &f->nodes[i];
        uint64_t kind = n->priv | (uint64_t)n->is_trap << 8, parent = n->parent == NO_NODE ? UINT64_MAX : n->parent;
        uint64_t words[5] = {parent, n->entry, kind, n->insns, n->calls};
        memcpy(at + i * sizeof words, words, sizeof words);
    }
    return bytes;
}

static PyObject *py_flow_sums(PyObject *module, PyObject *arguments)
{
    struct shared *s;
    unsigned long long numbers[2];
    struct flow *f = flow_of(arguments, &s, numbers);
    (void)module;
    if (f == NULL)
        return NULL;
    return Py_BuildValue("KK", (unsigned long long)f->lost_insns, (unsigned long long)path_hash(f));
}

#define FLOW_METHOD(name, text) {#name, py_##name, METH_VARARGS, text},
#define FLOW_METHODS \
    FLOW_METHOD(flow_new, "flow_new(runs, nodes, depth, frames): what follows a hart, with these limits.") \
    FLOW_METHOD(flow_ask, "flow_ask(flow, shared, asked, begin)") \
    FLOW_METHOD(flow_arrives, "flow_arrives(flow, shared)") \
    FLOW_METHOD(flow_retires, "flow_retires(flow, shared, kind)") \
    FLOW_METHOD(flow_traps, "flow_traps(flow, shared)") \
    FLOW_METHOD(flow_moved, "flow_moved(flow, shared, icount_before)") \
    FLOW_METHOD(flow_time_passed, "flow_time_passed(flow, shared, insns)") \
    FLOW_METHOD(flow_runs, "flow_runs(flow, shared): the runs, as bytes.") \
    FLOW_METHOD(flow_nodes, "flow_nodes(flow, shared): the call tree's nodes, as bytes.") \
    FLOW_METHOD(flow_sums, "flow_sums(flow, shared): instructions that were not counted, and the hash.")

#endif
