//! The composition root of Trinity; its binary is `trinity`.
