/* What a device tree (in its flattened form) says of the harts. */
#ifndef TREE_H
#define TREE_H

/* How many nodes are of the type cpu; 0 if `tree` is no device tree. */
unsigned tree_cpus(const void *tree);

#endif
