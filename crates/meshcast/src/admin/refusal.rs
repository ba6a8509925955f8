//! The form of a refusal.

use std::error::Error;

use axum::{
    Json,
    extract::rejection::{BytesRejection, QueryRejection},
    http::{HeaderMap, StatusCode, header::CONTENT_LENGTH},
    response::{IntoResponse, Response},
};
use meshcast_value::JsonError;

use super::schema::{self, code};
use crate::error::{OpenError, PingError};

/// A request that was not done, and why.
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn busy(message: impl ToString) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::BUSY, message)
    }

    pub(super) fn full(message: impl ToString) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::FULL, message)
    }

    pub(super) fn too_large(message: impl ToString) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, message)
    }

    pub(super) fn unencodable(message: impl ToString) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code::UNENCODABLE, message)
    }

    pub(super) fn unacknowledged(message: impl ToString) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            code::UNACKNOWLEDGED,
            message,
        )
    }

    fn new(status: StatusCode, code: &'static str, message: impl ToString) -> Self {
        Self {
            status,
            code,
            message: message.to_string(),
        }
    }

    pub(super) fn bad_request(message: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code::BAD_REQUEST, message)
    }

    pub(super) fn bad_json(error: JsonError) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            code::BAD_JSON,
            format!("it is no JSON that can be posted: {error}"),
        )
    }

    /// A body that was not read, of a request with these headers.
    pub(super) fn body(error: &BytesRejection, headers: &HeaderMap, message_limit: usize) -> Self {
        if error.status() != StatusCode::PAYLOAD_TOO_LARGE {
            return Self::bad_request(error.body_text());
        }
        let size = headers
            .get(CONTENT_LENGTH)
            .and_then(|size| size.to_str().ok());
        let size = size.map_or_else(String::new, |size| format!(" of {size} bytes"));
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            code::TOO_LARGE,
            format!("the body{size} is no message: the limit of one is {message_limit} bytes"),
        )
    }

    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            code::NOT_FOUND,
            "there is nothing at this path",
        )
    }

    pub(super) fn method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            code::METHOD,
            "this path has another method",
        )
    }

    pub(super) fn stopped() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            code::STOPPED,
            "the node is stopping",
        )
    }

    pub(super) fn timed_out(message: impl ToString) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, code::TIMED_OUT, message)
    }

    pub(super) fn internal(error: impl ToString) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, error)
    }

    pub(super) fn problem(self) -> schema::Problem {
        schema::Problem {
            code: self.code.into(),
            message: self.message,
        }
    }
}

impl From<QueryRejection> for Refusal {
    fn from(error: QueryRejection) -> Self {
        let why = error
            .source()
            .map_or_else(|| error.body_text(), ToString::to_string);
        Self::bad_request(format!("the query makes no sense: {why}"))
    }
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Name(error) => Self::new(StatusCode::BAD_REQUEST, code::BAD_CHANNEL, error),
            OpenError::TooManyChannels { .. } | OpenError::TooManyNames { .. } => Self::full(error),
            // No route takes a cursor.
            OpenError::ForeignCursor => Self::bad_request(error.to_string()),
            OpenError::Closed => Self::stopped(),
        }
    }
}

impl From<PingError> for Refusal {
    fn from(error: PingError) -> Self {
        match error {
            PingError::NotConnected(_) => {
                Self::new(StatusCode::NOT_FOUND, code::NOT_CONNECTED, error)
            }
            PingError::TimedOut(_) => Self::timed_out(error),
            PingError::TooMany { .. } => Self::full(error),
            PingError::Closed => Self::stopped(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status;
        let error = self.problem();
        (status, Json(schema::Refused { error })).into_response()
    }
}
