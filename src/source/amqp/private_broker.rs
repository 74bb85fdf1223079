//! A RabbitMQ of one's own: one node, its data in a temporary directory, gone when dropped.
//!
//! For `tidegate demo --source amqp` and the tests. Nothing of it touches a broker that the machine may run besides:
//! own node name, ports, cookie, data, logs, and a port mapper (epmd) of its own that ends with it.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{AmqpSettings, ConnectError, connect};

/// How long a node may take to start; 6 s on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// Where packages put the server's own script. Debian's wrapper in /usr/sbin insists on being root or rabbitmq.
const SERVERS: [&str; 4] = [
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/rabbitmq/sbin/rabbitmq-server",
    "/usr/local/sbin/rabbitmq-server",
    "/opt/homebrew/sbin/rabbitmq-server",
];

/// Why there is no private broker.
#[derive(Debug)]
pub enum BrokerError {
    /// It is not installed.
    Missing,
    /// A file or process could not be made.
    Io(io::Error),
    /// It did not start; the end of its own output.
    NotReady(String),
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("rabbitmq-server is not installed: apt-get install rabbitmq-server"),
            Self::Io(error) => write!(f, "a private RabbitMQ could not be set up: {error}"),
            Self::NotReady(output) => write!(f, "a private RabbitMQ did not start; it said:\n{output}"),
        }
    }
}

impl std::error::Error for BrokerError {}

impl From<io::Error> for BrokerError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A running node.
pub struct PrivateBroker {
    home: TempDir,
    port: u16,
    tls_port: Option<u16>,
    dist_port: u16,
    epmd_port: u16,
    epmd: Option<Child>,
    node: Option<Child>,
}

/// The broker's own side of TLS, PEM.
#[derive(Debug, Clone)]
pub struct BrokerTls {
    /// Chain and key of the listener.
    pub certificate: String,
    /// The listener's key.
    pub key: String,
    /// Roots for clients' certificates; `Some`: clients must have one.
    pub client_roots: Option<String>,
}

impl PrivateBroker {
    /// Starts a node and waits until it takes connections.
    ///
    /// # Errors
    /// [`BrokerError`]; nothing is left running.
    pub async fn start() -> Result<Self, BrokerError> {
        Self::start_with(&[], None).await
    }

    /// The same with further lines for `rabbitmq.conf`, and a TLS listener if wanted.
    ///
    /// # Errors
    /// [`BrokerError`]; nothing is left running.
    pub async fn start_with(lines: &[&str], tls: Option<&BrokerTls>) -> Result<Self, BrokerError> {
        let home = tempfile::Builder::new().prefix("tidegate-rabbitmq-").tempdir()?;
        let [port, dist_port, epmd_port, spare] = free_ports()?;
        let tls_port = tls.map(|_| spare);
        let mut broker = Self { home, port, tls_port, dist_port, epmd_port, epmd: None, node: None };
        broker.write_files(lines, tls)?;
        broker.launch()?;
        broker.ready().await?;
        Ok(broker)
    }

    /// Where it listens.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Its AMQP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens for TLS, if it does.
    #[must_use]
    pub fn tls_uri(&self) -> Option<String> {
        self.tls_port.map(|port| format!("amqps://guest:guest@localhost:{port}/%2f"))
    }

    /// Ends it as a power cut would: SIGKILL, no warning. What was confirmed is on disk.
    pub fn kill_9(&mut self) {
        if let Some(mut node) = self.node.take() {
            // The node is a shell script, the Erlang machine and its helpers: one process group.
            let _ = Command::new("sh").arg("-c").arg(format!("kill -KILL -{}", node.id())).status();
            let _ = node.kill();
            let _ = node.wait();
        }
    }

    /// Starts it again, with the same data and ports, and waits until it takes connections.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn restart(&mut self) -> Result<(), BrokerError> {
        self.kill_9();
        self.launch()?;
        self.ready().await
    }

    /// Adds lines to its `rabbitmq.conf`, in force after the next [`restart`](Self::restart).
    ///
    /// # Errors
    /// The file can't be written.
    pub fn configure(&self, lines: &[&str]) -> io::Result<()> {
        let path = self.home.path().join("rabbitmq.conf");
        let conf = std::fs::read_to_string(&path)? + &lines.join("\n") + "\n";
        std::fs::write(path, conf)
    }

    fn write_files(&self, lines: &[&str], tls: Option<&BrokerTls>) -> io::Result<()> {
        let path = |name: &str| self.home.path().join(name);
        let mut conf = vec![
            format!("listeners.tcp.1 = 127.0.0.1:{}", self.port),
            "log.console = false".to_owned(),
            "disk_free_limit.absolute = 50MB".to_owned(),
        ];
        if let (Some(tls), Some(port)) = (tls, self.tls_port) {
            std::fs::write(path("certificate.pem"), &tls.certificate)?;
            std::fs::write(path("key.pem"), &tls.key)?;
            conf.push(format!("listeners.ssl.1 = 127.0.0.1:{port}"));
            conf.push(format!("ssl_options.certfile = {}", path("certificate.pem").display()));
            conf.push(format!("ssl_options.keyfile = {}", path("key.pem").display()));
            conf.push(format!("ssl_options.fail_if_no_peer_cert = {}", tls.client_roots.is_some()));
            if let Some(roots) = &tls.client_roots {
                std::fs::write(path("roots.pem"), roots)?;
                conf.push(format!("ssl_options.cacertfile = {}", path("roots.pem").display()));
                conf.push("ssl_options.verify = verify_peer".to_owned());
            }
        }
        conf.extend(lines.iter().map(|line| (*line).to_owned()));
        std::fs::write(path("rabbitmq.conf"), conf.join("\n") + "\n")?;
        std::fs::write(path("enabled_plugins"), "[].\n")?;
        std::fs::create_dir_all(path("data"))?;
        std::fs::create_dir_all(path("log"))
    }

    fn launch(&mut self) -> Result<(), BrokerError> {
        let server = SERVERS.into_iter().find(|path| Path::new(path).exists()).ok_or(BrokerError::Missing)?;
        if self.epmd.is_none() {
            let epmd = Command::new("epmd")
                .args(["-address", "127.0.0.1", "-port", &self.epmd_port.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(
                    |error| if error.kind() == io::ErrorKind::NotFound { BrokerError::Missing } else { error.into() },
                )?;
            self.epmd = Some(epmd);
        }
        let path = |name: &str| self.home.path().join(name);
        let output = std::fs::File::options().create(true).append(true).open(path("output"))?;
        let node = Command::new(server)
            .env("HOME", self.home.path())
            .env("RABBITMQ_NODENAME", format!("tidegate-{}@localhost", self.port))
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", path("data"))
            .env("RABBITMQ_LOG_BASE", path("log"))
            .env("RABBITMQ_LOGS", path("log/node.log"))
            .env("RABBITMQ_PID_FILE", path("pid"))
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
            // No busy waiting (the machine has other work), and no open distribution port but on loopback.
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
            )
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()?;
        self.node = Some(node);
        Ok(())
    }

    async fn ready(&mut self) -> Result<(), BrokerError> {
        let settings = AmqpSettings { uri: self.uri().into(), ..AmqpSettings::default() };
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            match connect::connect(&settings, "wait").await {
                Ok(connection) => {
                    let _ = connection.close(200, "ready".into()).await;
                    return Ok(());
                }
                // It was configured to have another user than guest; it is up all the same.
                Err(ConnectError::Refused(_)) => return Ok(()),
                Err(_) => {}
            }
            let ended = self.node.as_mut().is_none_or(|node| !matches!(node.try_wait(), Ok(None)));
            if ended || Instant::now() > deadline {
                return Err(BrokerError::NotReady(self.output()));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The end of what it wrote.
    fn output(&self) -> String {
        let mut text = String::new();
        for name in ["output", "log/node.log"] {
            text += &std::fs::read_to_string(self.home.path().join(name)).unwrap_or_default();
        }
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for PrivateBroker {
    fn drop(&mut self) {
        self.kill_9();
        if let Some(mut epmd) = self.epmd.take() {
            let _ = epmd.kill();
            let _ = epmd.wait();
        }
    }
}

/// Ports that were free a moment ago.
fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
