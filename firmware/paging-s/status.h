/* The checks that only this image makes. */
#ifndef STATUS_H
#define STATUS_H

void check_status(void);

#endif
