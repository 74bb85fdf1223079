//! `GET /v1/jobs/{id}`: what became of a job, for people who ask.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::door::Problem;
use crate::outcome::REMEMBERED;
use crate::pipeline::{JobReport, NotAnswered, View};

/// The longest id that a job can have, in bytes.
const LONGEST: usize = 128;

pub(super) async fn job(State(view): State<View>, Path(id): Path<String>) -> Result<Json<JobReport>, Problem> {
    if id.len() > LONGEST {
        let title = format!("no job has an id of {} bytes", id.len());
        return Err(Problem::new(StatusCode::BAD_REQUEST, title, "ids have 1 to 128 visible ASCII characters"));
    }
    view.inquiry().job(&id).await.map(Json).map_err(|why| problem(&id, &why))
}

fn problem(id: &str, why: &NotAnswered) -> Problem {
    match why {
        NotAnswered::Unknown { cut_short } => {
            let also =
                if *cut_short { "; the spool is too deep to be looked through at once, so ask again" } else { "" };
            let detail = format!(
                "it never came, waits in the broker, came to another process, or ended before the last {REMEMBERED} pushes that were delivered or as many that were not; the outcomes tell of all{also}"
            );
            Problem::new(StatusCode::NOT_FOUND, format!("nothing is known of a job {id:?}"), detail)
        }
        NotAnswered::Busy => {
            let title = "those who could answer are busy: a sink holds all up, or many ask";
            Problem::later(StatusCode::SERVICE_UNAVAILABLE, title, std::time::Duration::from_secs(5))
        }
        NotAnswered::Spool(error) => {
            let title = format!("the spool can't be looked through: {error}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, title, "see the log and /readyz")
        }
    }
}
