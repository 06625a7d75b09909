/* What is needed of physical memory protection before any check. */
#ifndef PROTECTION_H
#define PROTECTION_H

/* One PMP entry, the last, that lets S-mode and U-mode use all memory. */
void allow_all_memory(void);

#endif
