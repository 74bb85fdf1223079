//! Where jobs come from and where they are settled.

pub mod amqp;
