//! What the end-to-end tests and the demo stand on: a lab of hosts in namespaces, real mail servers and a real balancer in
//! it, and judges that know nothing of the code under test.

pub mod bench;
pub mod chaos;
pub mod demo;
#[cfg(feature = "etcd")]
pub mod etcd;
pub mod judge;
pub mod keys;
pub mod lab;
pub mod pair;
pub mod program;
pub mod still;
pub mod wait;
