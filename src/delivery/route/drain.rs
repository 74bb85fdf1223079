//! The end of a route: what is in flight may end, the rest goes back to where it came from.

use futures::stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::Route;
use crate::delivery::order::Order;
use crate::dispatch::KEPT_AFTER_REMOVAL;
use crate::job::Push;
use crate::outcome::Resolution;

impl Route {
    /// Starts nothing more; what is in flight may end, the rest goes back.
    pub(super) async fn drain(mut self, abandon: CancellationToken) {
        self.draining = true;
        self.inlet.close();
        while let Some(chunk) = self.inlet.recv().await {
            self.buffer.extend(chunk);
        }
        let sorted: Vec<Push> = self.ways.origins_mut().map(|origins| origins.clear().collect()).unwrap_or_default();
        let behind = self.order.take().into_iter().flat_map(Order::clear);
        let unsent = self.buffer.drain(..).chain(self.shelf.clear()).chain(sorted).chain(behind);
        let removed = self.removed.is_cancelled();
        self.ended.extend(unsent.map(|push| match removed {
            true => Resolution::Later { push, delay: KEPT_AFTER_REMOVAL },
            false => Resolution::Returned(push),
        }));
        if removed {
            self.metrics.route_removed(&self.label);
        }
        while !self.in_flight.is_empty() && self.flush().await.is_ok() {
            tokio::select! {
                () = abandon.cancelled() => break,
                Some(answered) = self.in_flight.next() => self.answers(answered),
                () = self.ways.changed() => {}
            }
        }
        // What is still in flight is dropped with the route: its streams are reset, its jobs stay unsettled and come again.
        if removed {
            tracing::info!(route = %self.label, "a removed route has ended: nothing of it is in flight any more");
        } else {
            self.show();
        }
        let _ = self.flush().await;
    }
}
