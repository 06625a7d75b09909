"""Services for the guest that are not chips: semihosting, HTIF."""
